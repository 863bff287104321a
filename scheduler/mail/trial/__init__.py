"""Texts tried with every kind of reader before they may go out."""
