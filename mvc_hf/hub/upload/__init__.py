"""What is published on the Hub: files as they are finished, one commit for all of them, branches and tags."""
