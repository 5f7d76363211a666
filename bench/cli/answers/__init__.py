"""What ``trainfit fit`` answers to each kind of question, once torch may be imported."""
