"use strict";
// The settings, with a help sentence for each. Choices and limits come from the server.

const NAMES = {
  adam: "Adam",
  adamw: "AdamW",
  sgd: "SGD",
  rmsprop: "RMSprop",
  none: "none",
  r1: "R1 (on reals)",
  r2: "R2 (on fakes)",
  "r1+r2": "R1 and R2",
  gradient_penalty: "gradient penalty",
  zero_centred: "zero-centred penalty",
  dragan: "DRAGAN",
  non_saturating: "non-saturating",
  minimax: "minimax (2014)",
  least_squares: "least squares",
  wasserstein: "Wasserstein",
  relu: "ReLU",
  leaky_relu: "leaky ReLU",
  elu: "ELU",
  silu: "SiLU",
  fgan_kl: "f-GAN: KL",
  fgan_reverse_kl: "f-GAN: reverse KL",
  fgan_pearson: "f-GAN: Pearson",
  fgan_hellinger: "f-GAN: Hellinger",
  fgan_js: "f-GAN: JS",
  fgan_total_variation: "f-GAN: total variation",
  fgan_gan: "f-GAN: GAN",
};
const named = (name) => NAMES[name] ?? words(name);

/** now: acts at once, on the game that is being played. list: the name of its choices. */
const FIELDS = [
  {
    group: "Data",
    open: true,
    fields: [
      {
        name: "mode",
        label: "Game",
        options: [
          ["game", "samples"],
          ["dirac", "two numbers"],
        ],
        help: "Samples from a distribution, or the smallest GAN: data at 0, G makes one number θ, D is a line of slope ψ.",
      },
      { name: "source", label: "Data", list: "sources", help: "The distribution that G learns. Choose “drawn” to draw points yourself." },
      { name: "theta", label: "θ at the start", number: 0.1, help: "The start of G's point; the data are at 0." },
      { name: "psi", label: "ψ at the start", number: 0.1, help: "The start of D's slope; D(x) increases with ψ x." },
      {
        name: "noise",
        label: "Noise",
        options: [
          ["normal", "normal"],
          ["uniform", "uniform"],
        ],
        help: "The distribution of z, the input of G.",
      },
      {
        name: "latent",
        label: "Size of the noise",
        number: 1,
        help: "Dimensions of z. With fewer than the data have, G cannot cover them.",
      },
      { name: "seed", label: "Seed", number: 1, help: "The same seed gives the same game, bit for bit." },
    ],
  },
  {
    group: "Rules of the game",
    open: true,
    fields: [
      { name: "loss", label: "Loss", list: "losses", help: "What each player minimises." },
      {
        name: "penalty",
        label: "Penalty on D",
        list: "penalties",
        help: "Keeps D smooth, so that its gradient is useful to G; the usual remedy for oscillation and collapse.",
      },
      {
        name: "weight",
        label: "Penalty's weight",
        number: "any",
        now: true,
        help: "A larger weight makes D flatter and slower.",
      },
      {
        name: "k",
        label: "D moves per G move",
        number: 1,
        now: true,
        help: "More moves bring D closer to the best D before G moves.",
      },
      {
        name: "simultaneous",
        label: "Move at the same time",
        tick: true,
        help: "Both players step from the same state instead of one after the other. The game rotates more.",
      },
    ],
  },
  {
    group: "Learning",
    fields: [
      {
        name: "lr_g",
        label: "G's learning rate",
        rate: true,
        now: true,
        help: "Step size of G. In the Dirac-GAN it is the step size of both.",
      },
      {
        name: "lr_d",
        label: "D's learning rate",
        rate: true,
        now: true,
        help: "Step size of D; often at least as large as that of G.",
      },
      { name: "optimizer", label: "Optimizer", list: "optimizers", help: "The method that turns gradients into steps." },
      {
        name: "beta1",
        label: "Adam's β₁",
        number: "any",
        help: "Decay of the mean of past gradients; for GANs 0 works better than the usual 0.9.",
      },
      { name: "beta2", label: "Adam's β₂", number: "any", help: "Decay of the mean of past squared gradients." },
      {
        name: "momentum",
        label: "Momentum",
        number: "any",
        help: "For SGD and RMSprop: the share of the last step that is repeated.",
      },
      {
        name: "batch",
        label: "Batch",
        number: 1,
        help: "Samples per move; more give a less noisy gradient.",
      },
    ],
  },
  {
    group: "Networks",
    fields: [
      { name: "g_layers", label: "G's hidden layers", number: 1, help: "0 makes G a linear map of the noise." },
      { name: "g_width", label: "G's width", number: 1, help: "Neurons in each hidden layer of G." },
      {
        name: "d_layers",
        label: "D's hidden layers",
        number: 1,
        help: "0 makes D's logit linear: it can only compare means.",
      },
      { name: "d_width", label: "D's width", number: 1, help: "Neurons in each hidden layer of D." },
      { name: "activation", label: "Activation", list: "activations", help: "The activation function of both networks." },
    ],
  },
];
