/**
 * Encouragement of self-harm and instructions for it. Someone who speaks of their own despair needs an answer and not a
 * closed door: that goes to review, and only a request for a method, or a push towards it, decides.
 */
import type { LexiconSource } from './entry.ts'

export const selfHarm: LexiconSource = {
  entries: [
    {
      category: 'self-harm', rule: 'self-harm/encouragement', score: 0.9, mitigatedBy: ['report', 'negation'],
      phrases: `
        {go|just|please|so|you should|you should just|you need to|why don't you|why don't you just|do us all a favor and|do us all a favour and|do the world a favor and|do the world a favour and|do everyone a favor and|hurry up and} {kill|hang|shoot|cut|drown} yourself
        {go|just|you should} {commit suicide|slit your wrists|jump off a {bridge|building|cliff}|drink bleach|hang yourself|overdose|end your life|neck yourself}
        {go|just|please|so|pls} kys
        kys {you|loser|bitch|faggot|now|pls|please}
        {kill|neck} yourself {you|now|already|loser|bitch|faggot|please|tonight}
        {the world|everyone|everybody|we|your family} {would be|is|will be|would all be} better off {without you|if you were dead|when you're dead}
        {nobody|no one} would {miss|care about} you if you {died|were dead|killed yourself}
      `,
    },
    {
      category: 'self-harm', rule: 'self-harm/bare-encouragement', score: 0.7, mitigatedBy: [],
      phrases: `
        kill yourself
        kys
        slit your wrists
        drink bleach
      `,
    },
    { category: 'self-harm', rule: 'self-harm/instructions', score: 0.9, mitigatedBy: ['negation'], first: 'ask', second: 'selfHarm', anyOrder: false, within: 6 },
    { category: 'self-harm', rule: 'self-harm/instructions', score: 0.9, mitigatedBy: ['negation'], first: 'bestWay', second: 'selfHarm', anyOrder: false, within: 6 },
    { category: 'self-harm', rule: 'self-harm/instructions', score: 0.9, mitigatedBy: ['negation'], first: 'howMuch', second: 'selfHarm', anyOrder: false, within: 8 },
    {
      category: 'self-harm', rule: 'self-harm/concealment', score: 0.85, mitigatedBy: [],
      phrases: `
        {hide|hiding|conceal} {my |}{cuts|self-harm|cutting|self-harm scars|anorexia|purging} from
        {how to|tips for|tips on} {starve myself|be anorexic|become anorexic|purge after|make myself throw up|stay anorexic}
      `,
    },
    {
      category: 'self-harm', rule: 'self-harm/despair', score: 0.6, mitigatedBy: [],
      phrases: `
        {want to|wanna|going to|gonna|might|should} {kill myself|end my life|end it all|commit suicide|cut myself|hang myself}
        {thinking about|thinking of} {killing myself|ending my life|ending it all|suicide|hanging myself}
        i {just |}want to die
        {i am|i'm|im} {suicidal|better off dead}
        how to tie a noose
      `,
    },
  ],
  parts: {
    bestWay: '{painless|painlessly|easiest|quickest|fastest|best|least painful|most effective|effective} {way|ways|method|methods} {to|of|for}',
    howMuch: 'how {many|much} {pills|sleeping pills|tylenol|paracetamol|ibuprofen|aspirin|xanax|insulin|medication|bleach}',
    selfHarm: `
      {kill|hang|cut} {myself|yourself|oneself}
      {kill|killing} me
      {commit|committing} suicide
      {end|take} {my|your|my own|your own} life
      slit {my|your} wrists
      overdose on
      {die by|die from} {suicide|an overdose}
    `,
  },
  joins: [],
  exceptions: `
    want to die {laughing|of laughter|of embarrassment|alone|hard}
    kill yourself {laughing|working|trying}
    cut {myself|yourself} {some|a|off|shaving|while}
  `,
}
