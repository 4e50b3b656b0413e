"""Who somebody is: registration, sign-in and its trail, passwords, throttles, tokens taken back."""
