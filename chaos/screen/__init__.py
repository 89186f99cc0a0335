"""What a person sees in the terminal while a system starts, a run goes on and a verdict is given. Decides nothing."""
