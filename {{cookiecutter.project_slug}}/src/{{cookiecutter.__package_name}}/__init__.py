"""The service {{ cookiecutter.project_slug }}."""
