"""An organizer's text: Markdown with Jinja2, in the one layout. Pure."""
