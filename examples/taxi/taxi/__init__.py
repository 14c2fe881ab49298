"""What a taxi app answers when a rider asks how long the trip will take."""
