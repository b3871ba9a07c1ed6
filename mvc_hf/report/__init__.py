"""Pictures for people to look at: contact sheets, text on them, and how a terminal shows them."""
