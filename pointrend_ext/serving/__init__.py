"""The page in the browser: what it shows, without gradio (``session``, ``view``), and the page."""
