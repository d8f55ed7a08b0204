"""The site: server-rendered pages and the JSON API. It never imports the model."""
