"""The API for systems that register people and cannot write SQL, below /api of the registrants' pages."""
