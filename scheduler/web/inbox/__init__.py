"""A rehearsal's mails as pages."""
