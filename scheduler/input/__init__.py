"""Input that people write into files and variables: reading and checking it. Each mistake has its place and a fix."""
