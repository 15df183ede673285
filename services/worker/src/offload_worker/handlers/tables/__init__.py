"""Tables as clients send them: their text, their cells, and what is said of them."""
