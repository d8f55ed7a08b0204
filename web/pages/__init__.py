"""The pages, rendered on the server; htmx renews parts of them."""
