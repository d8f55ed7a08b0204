"""Celery workers that read reviews, and the sweeper that repairs what they leave behind."""
