"""Alembic's environment and revisions. Revisions never import the store's models."""
