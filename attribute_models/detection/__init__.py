"""Where the faces of a picture are, and how they are brought to the template."""
