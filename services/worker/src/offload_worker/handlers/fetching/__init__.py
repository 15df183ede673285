"""How `fetch-urls` works, a module a step: whose turn it is, what may be asked, the request, and what is kept."""
