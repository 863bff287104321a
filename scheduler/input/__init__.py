"""What people write into files and variables: read, checked, each mistake reported with its place and how to fix it."""
