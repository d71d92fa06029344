"""What is done to the stores until they break: kills, flipped bits. Short forms run as tests, long ones by hand."""
