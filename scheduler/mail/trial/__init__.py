"""Trials: texts are filled in for every kind of reader before they may go out."""
