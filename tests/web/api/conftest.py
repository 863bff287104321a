"""What each test of the API may ask for."""

from tests.web.pages.support import site

__all__ = ["site"]
