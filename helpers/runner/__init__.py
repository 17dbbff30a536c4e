"""Runs, stores and checks the lessons; lessons never import it."""
