"""What the commands print: tables for people, one JSON document for programs."""
