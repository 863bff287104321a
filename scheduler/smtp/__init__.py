"""SMTP: connections to relays, mail transactions, and the meaning of replies. Knows no ledger."""
