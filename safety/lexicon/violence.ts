/** Threats against someone. Talk of killing processes, time, or the mood is none: it takes a person as the object. */
import type { LexiconSource } from './entry.ts'

export const violence: LexiconSource = {
  entries: [
    { category: 'violence', rule: 'violence/threat', score: 0.9, mitigatedBy: ['report', 'negation'], first: 'intent', second: 'attackOnSomeone', anyOrder: false, within: 5 },
    { category: 'violence', rule: 'violence/wish', score: 0.6, mitigatedBy: ['report', 'negation'], first: 'wish', second: 'attackOnSomeone', anyOrder: false, within: 5 },
    {
      category: 'violence', rule: 'violence/threat-phrase', score: 0.9, mitigatedBy: ['report', 'negation'],
      phrases: `
        find you and {kill|rape|murder} you
        i know where you live and {i|we} will
        {you are|you're|your} a dead {man|woman}
        {hope|hoping} {you|your {family|kids|children}} {get|gets} {raped|murdered|killed|shot|stabbed}
        you {deserve|need} to be {raped|murdered|killed|shot|stabbed|hanged|lynched}
      `,
    },
    {
      category: 'violence', rule: 'violence/wish-phrase', score: 0.6, mitigatedBy: ['report', 'negation'],
      phrases: `
        hope {you|he|she|they} {die|dies|rot|burn}{| in hell| slowly| painfully}
        you {should|need to|deserve to|must} die
        {shoot up|blow up} {the|my|a|this} {school|church|mosque|synagogue|airport|hospital|stadium|concert}
      `,
    },
    { category: 'violence', rule: 'violence/murder-question', score: 0.6, mitigatedBy: ['report', 'negation'], first: 'ask', second: 'murder', anyOrder: false, within: 5 },
    { category: 'violence', rule: 'violence/murder-instructions', score: 0.9, mitigatedBy: [], first: 'murderRequest', second: 'undetected', anyOrder: false, within: 8 },
    { category: 'violence', rule: 'violence/attack-instructions', score: 0.9, mitigatedBy: ['report', 'negation'], first: 'ask', second: 'massacre', anyOrder: false, within: 6 },
  ],
  parts: {
    attackOnSomeone: `
      {kill|murder|slaughter|stab|shoot|strangle|behead|rape|butcher|dismember|execute|lynch} {you|u|him|her|them|all of you|your {family|kids|children|wife|husband|mother|mom|mum|parents|daughter|son|whole family|entire family}}
      {kill|murder|slaughter|shoot} everyone
      {cut|slit} {your|her|his|their} {throat|throats}
      {blow|bash} your {head|brains|skull} {off|out|in}
      beat you to death
      {bomb|shoot up|blow up} {the|your|this|that|my|a} {school|church|mosque|synagogue|office|building|airport|hospital}
    `,
    wish: `
      {i want to|i wanna|i'd love to|i would love to|let's|we should|someone should|somebody should}
    `,
    murder: `
      {kill|murder|poison} {someone|somebody|a person|my {wife|husband|boss|neighbor|neighbour|ex|girlfriend|boyfriend|parents|mother|father|mom|dad|sister|brother|child|baby|roommate|friend}}
      get away with murder
    `,
    undetected: `
      get away with it
      without {getting caught|being caught|leaving {a trace|evidence|any evidence}|anyone knowing|being detected}
      undetected
    `,
    massacre: `
      {plan|carry out|commit|organize|organise|stage|execute} a {mass shooting|school shooting|terrorist attack|terror attack|terrorist bombing|massacre|bombing|genocide}
    `,
  },
  joins: [{ part: 'murderRequest', first: 'ask', second: 'murder', anyOrder: false, within: 5 }],
  exceptions: `
    {shoot|kill} {you|them|him|her} {an|a|some|at|over|the|with} {email|message|text|line|line of|chess|golf|tennis|quick|note|kindness|laughter}
    shoot you {a|an|over}
    bomb {the|my|this} {test|exam|interview|audition}
    {shoot|shooting} {him|her|them|you} {hoops|pictures|down}
  `,
}
