"""What a report is made of: items, each a table or a drawing, and the files that they leave."""
