"""What people write into files and variables: read, checked, each mistake told with place and mend."""
