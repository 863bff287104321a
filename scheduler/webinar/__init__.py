"""The webinar's file: what organizers write, read strictly, and when its messages are due. Pure."""
