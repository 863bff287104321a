"""An organizer's text: Markdown with Jinja2 inside the common layout. Pure."""
