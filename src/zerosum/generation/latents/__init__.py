"""What can be done in the latent space of a trained generator: walk, mix, find directions, project a picture into it."""
