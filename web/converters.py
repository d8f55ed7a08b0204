"""Ids in addresses. What cannot be an id is a 404 and never reaches the database."""

from werkzeug.routing import BaseConverter


class RowIdConverter(BaseConverter):
    """A positive 63-bit integer."""

    regex = r"[1-9][0-9]{0,17}"

    def to_python(self, value: str) -> int:
        """Read the id."""
        return int(value)


class JobIdConverter(BaseConverter):
    """A job id: lower-case hexadecimal digits."""

    regex = r"[0-9a-f]{8,64}"
