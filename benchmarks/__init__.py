"""What is slow, against what others do. Not part of the installed application."""
