"""How `predict` works, a module a step: the model, the rows, what it says of them, and where that goes."""
