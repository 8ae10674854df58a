/** The models that go by a name: where their checkpoint comes from and under which terms their weights are served. */
import { join } from 'node:path'
import type { LicenceProfileId } from '../../shared/licence-profiles.ts'

export interface CatalogueEntry {
  readonly id: string
  readonly ownedBy: string
  readonly licence: LicenceProfileId
  readonly description: string
  readonly checkpoint: { readonly kind: 'bundled'; readonly folder: string } | { readonly kind: 'hub'; readonly repository: string }
}

export const catalogue: readonly CatalogueEntry[] = [
  {
    id: 'phi-mini',
    ownedBy: 'phigate',
    licence: 'mit',
    description: 'tiny model of our own, bundled; shows the system at work',
    checkpoint: { kind: 'bundled', folder: join(import.meta.dirname, 'bundled', 'phi-mini') },
  },
  hubEntry('microsoft/phi-2', '2.7 billion parameters'),
  hubEntry('microsoft/phi-1_5', '1.3 billion parameters'),
  hubEntry('microsoft/phi-1', '1.3 billion parameters, Python code'),
]

export function findInCatalogue(id: string): CatalogueEntry | undefined {
  return catalogue.find((entry) => entry.id === id)
}

/** Microsoft published the weights of phi-1, phi-1.5 and phi-2 under the MIT License (https://huggingface.co/microsoft/phi-2). */
function hubEntry(id: string, description: string): CatalogueEntry {
  return { id, ownedBy: 'microsoft', licence: 'mit', description, checkpoint: { kind: 'hub', repository: id } }
}
