"""What a plan costs, how precise it is, and whether its values fit their modulus."""
