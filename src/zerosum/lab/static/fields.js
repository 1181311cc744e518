"use strict";
// What can be set, and a sentence of help for each. Choices and limits come from the lab.

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
      { name: "source", label: "Data", list: "sources", help: "What G has to learn. Choose “drawn” to draw it yourself." },
      { name: "theta", label: "θ at the start", number: 0.1, help: "Where G's one point begins; the data are at 0." },
      { name: "psi", label: "ψ at the start", number: 0.1, help: "D's slope at the start; D(x) rises with ψ x." },
      {
        name: "noise",
        label: "Noise",
        options: [
          ["normal", "normal"],
          ["uniform", "uniform"],
        ],
        help: "The distribution of z, from which G makes its samples.",
      },
      {
        name: "latent",
        label: "Size of the noise",
        number: 1,
        help: "How many numbers z has. Fewer than the data's own dimensions cannot fill them.",
      },
      { name: "seed", label: "Seed", number: 1, help: "The same seed plays the same game, bit for bit." },
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
        help: "Keeps D smooth, so that its advice to G can be trusted; the usual cure for spirals and collapse.",
      },
      {
        name: "weight",
        label: "Penalty's weight",
        number: "any",
        now: true,
        help: "More of it makes D slower and gentler.",
      },
      {
        name: "k",
        label: "D moves per G move",
        number: 1,
        now: true,
        help: "More moves bring D nearer to the best D before G answers.",
      },
      {
        name: "simultaneous",
        label: "Move at the same time",
        tick: true,
        help: "Both players step from the same position instead of one after the other. It circles more.",
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
        help: "How far G steps along its gradient. In the Dirac game it is the step of both.",
      },
      {
        name: "lr_d",
        label: "D's learning rate",
        rate: true,
        now: true,
        help: "How far D steps. D is often well served by a rate at least as large as G's.",
      },
      { name: "optimizer", label: "Optimizer", list: "optimizers", help: "How gradients become steps." },
      {
        name: "beta1",
        label: "Adam's β₁",
        number: "any",
        help: "Memory of past gradients' direction; 0 suits games better than the usual 0.9.",
      },
      { name: "beta2", label: "Adam's β₂", number: "any", help: "Memory of past gradients' size." },
      {
        name: "momentum",
        label: "Momentum",
        number: "any",
        help: "For SGD and RMSprop: the share of the last step that is made again.",
      },
      {
        name: "batch",
        label: "Batch",
        number: 1,
        help: "Samples looked at in each move; more of them give a steadier gradient.",
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
      { name: "activation", label: "Activation", list: "activations", help: "The bend between layers, in both networks." },
    ],
  },
];
