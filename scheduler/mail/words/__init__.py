"""The words of mails around an organizer's text, in one language. Pure."""
