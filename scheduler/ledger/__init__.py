"""The ledger: the single truth about what was, will be and may have been sent."""
