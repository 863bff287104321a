"""HTTP: one listener, and what it gives to whoever connects."""
