"""What mails say around an organizer's text, in the words of one language. Pure."""
