"""How `send-email` works, a module a step: its texts, the message, and the server."""
