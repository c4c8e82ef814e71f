"""Pictures of what a model does: its points and steps, its data, two models side by side."""
