"""What calls us: the command line, feeds, and the sequencer that puts them on the tape."""
