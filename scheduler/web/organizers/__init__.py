"""The editor of texts in the browser, at /templates."""
