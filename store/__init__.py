"""SQL and files: schema, sessions, settings, the job life cycle, reviews, the model registry, users."""
