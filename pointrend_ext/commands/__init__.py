"""The commands of ``pointrend``, one module each; ``tools/`` runs the same functions."""

PROG = "pointrend"
COMMANDS = {
    "train": ("train", "train a model, and evaluate it at the end"),
    "eval": ("evaluate", "evaluate a trained model on the test sets of its configuration"),
    "predict": ("predict", "run a model on pictures, folders, videos or a camera"),
    "serve": ("serve", "show a model on a page in the browser"),
    "score": ("score", "score saved predictions of any model, with intervals"),
    "report": ("report", "write scores as one HTML page"),
    "export": ("export", "write a trained model as ONNX or for torch.export, and check it"),
    "convert": ("convert", "convert weights of any known format"),
    "data check": ("data_check", "count what data sets hold, and find what is wrong with them"),
    "data describe": (
        "data_describe",
        "describe an export of an annotation tool, choose a training",
    ),
    "data points": ("data_points", "draw points of objects from masks, to train on them instead"),
    "data look": ("data_look", "draw what a training reads"),
    "zoo": ("zoo", "list configurations with released weights, and where to get them"),
    "completion": ("completion", "write what completes these words in a shell"),
    "doctor": ("doctor", "say what this machine has, what is missing and how to install it"),
}
"""By words: the module here, and what it does."""
