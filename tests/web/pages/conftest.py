"""What each test of the pages may ask for."""

from tests.web.pages.support import site

__all__ = ["site"]
