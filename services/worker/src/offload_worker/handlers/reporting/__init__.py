"""How `render-report` works, a module a step: the folder that Typst sees, and what it makes of it."""
