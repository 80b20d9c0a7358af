import type { Json } from '../../../../lib/api/json.ts';
import { aPod } from '../../../support/builders.ts';
import { rows, type Row } from './rows.ts';

const required = 'requiredDuringSchedulingIgnoredDuringExecution';
const preferred = 'preferredDuringSchedulingIgnoredDuringExecution';

describe('api/validation of where a pod may be', () => {
  describe('affinity to nodes', () => {
    const terms = (list: readonly Json[]): Json => ({
      'spec.affinity': { nodeAffinity: { [required]: { nodeSelectorTerms: list } } },
    });
    const one = (requirement: Json): Json => terms([{ matchExpressions: [requirement] }]);
    const name = (requirement: Json): Json => terms([{ matchFields: [requirement] }]);
    const like = (each: Json): Json => ({ 'spec.affinity': { nodeAffinity: { [preferred]: [each] } } });
    const at = `spec.affinity.nodeAffinity.${required}.nodeSelectorTerms`;
    const expression = `${at}[0].matchExpressions[0]`;
    const nameField = `${at}[0].matchFields[0]`;
    const likeField = `spec.affinity.nodeAffinity.${preferred}[0]`;
    const list: readonly Row[] = [
      [one({ key: 'zone', operator: 'In', values: ['a', 'b'] })],
      [one({ key: 'cores', operator: 'Gt', values: ['8'] })],
      [one({ key: 'gpu', operator: 'Exists' })],
      [name({ key: 'metadata.name', operator: 'In', values: ['n1'] })],
      [like({ weight: 100, preference: { matchExpressions: [{ key: 'ssd', operator: 'DoesNotExist' }] } })],
      [terms([]), at, 'at least one'],
      [one({ operator: 'Exists' }), `${expression}.key`, 'Required'],
      [one({ key: 'a b', operator: 'Exists' }), `${expression}.key`, 'a space'],
      [one({ key: 'a', operator: 'Near' }), `${expression}.operator`, '"DoesNotExist"'],
      [one({ key: 'a', operator: 'In' }), `${expression}.values`, 'must be specified'],
      [one({ key: 'a', operator: 'Exists', values: ['b'] }), `${expression}.values`, 'may not be specified'],
      [one({ key: 'a', operator: 'Lt', values: ['few'] }), `${expression}.values`, 'whole number'],
      [one({ key: 'a', operator: 'Lt', values: ['1', '2'] }), `${expression}.values`, 'whole number'],
      [name({ key: 'spec.unschedulable', operator: 'In', values: ['n'] }), `${nameField}.key`, '"metadata.name"'],
      [name({ key: 'metadata.name', operator: 'Exists', values: ['n'] }), `${nameField}.operator`, '"NotIn"'],
      [name({ key: 'metadata.name', operator: 'In', values: ['a', 'b'] }), `${nameField}.values`, 'one name'],
      [like({ weight: 0, preference: {} }), `${likeField}.weight`, 'between 1 and 100'],
      [like({ weight: 101, preference: {} }), `${likeField}.weight`, 'between 1 and 100'],
      [like({ preference: {} }), `${likeField}.weight`, 'Required'],
    ];
    rows('pods', aPod(), list);
  });

  for (const kind of ['podAffinity', 'podAntiAffinity']) {
    describe(kind, () => {
      const near = (term: Json): Json => ({
        'spec.affinity': { [kind]: { [required]: [{ topologyKey: 'zone', labelSelector: {}, ...term }] } },
      });
      const like = (weight: unknown): Json => ({
        'spec.affinity': {
          [kind]: { [preferred]: [{ weight, podAffinityTerm: { topologyKey: 'zone', labelSelector: {} } }] },
        },
      });
      const field = `spec.affinity.${kind}.${required}[0]`;
      const list: readonly Row[] = [
        [near({ labelSelector: { matchLabels: { app: 'web' } } })],
        [near({ namespaces: ['shop'], namespaceSelector: {} })],
        [near({ matchLabelKeys: ['version'], mismatchLabelKeys: ['tenant'] })],
        [like(1)],
        [near({ topologyKey: '' }), `${field}.topologyKey`, 'can not be empty'],
        [near({ topologyKey: 'a b' }), `${field}.topologyKey`, 'a space'],
        [near({ namespaces: ['A'] }), `${field}.namespaces[0]`, 'Invalid value'],
        [
          near({ labelSelector: { matchExpressions: [{ key: 'app', operator: 'In' }] } }),
          `${field}.labelSelector.matchExpressions[0].values`,
        ],
        [near({ labelSelector: undefined, matchLabelKeys: ['v'] }), `${field}.matchLabelKeys`, 'labelSelector'],
        [
          near({ labelSelector: { matchLabels: { v: '1' } }, matchLabelKeys: ['v'] }),
          `${field}.matchLabelKeys[0]`,
          'exists in labelSelector too',
        ],
        [near({ matchLabelKeys: ['v'], mismatchLabelKeys: ['v'] }), `${field}.mismatchLabelKeys[0]`, 'too'],
        [
          like(1000),
          `spec.affinity.${kind}.${preferred}[0].weight`,
          'Invalid value: 1000: must be between 1 and 100, inclusive',
        ],
      ];
      rows('pods', aPod(), list);
    });
  }

  describe('spreading', () => {
    const base = { maxSkew: 1, topologyKey: 'zone', whenUnsatisfiable: 'DoNotSchedule', labelSelector: {} };
    const spread = (...changes: readonly Json[]): Json => ({
      'spec.topologySpreadConstraints': changes.map((change) => ({ ...base, ...change })),
    });
    const field = 'spec.topologySpreadConstraints[0]';
    const list: readonly Row[] = [
      [spread({})],
      [spread({ minDomains: 3, nodeAffinityPolicy: 'Ignore', nodeTaintsPolicy: 'Honor', matchLabelKeys: ['v'] })],
      [spread({}, { whenUnsatisfiable: 'ScheduleAnyway' })],
      [spread({ maxSkew: 0 }), `${field}.maxSkew`, 'greater than or equal to 1'],
      [spread({ maxSkew: undefined }), `${field}.maxSkew`, 'Required'],
      [spread({ topologyKey: undefined }), `${field}.topologyKey`, 'can not be empty'],
      [spread({ whenUnsatisfiable: 'Never' }), `${field}.whenUnsatisfiable`, '"ScheduleAnyway"'],
      [spread({ minDomains: 0 }), `${field}.minDomains`, 'Invalid value'],
      [spread({ minDomains: 2, whenUnsatisfiable: 'ScheduleAnyway' }), `${field}.minDomains`, 'DoNotSchedule'],
      [spread({ nodeTaintsPolicy: 'Maybe' }), `${field}.nodeTaintsPolicy`, '"Honor", "Ignore"'],
      [spread({ labelSelector: undefined, matchLabelKeys: ['v'] }), `${field}.matchLabelKeys`, 'labelSelector'],
      [
        spread({}, { maxSkew: 2 }),
        'spec.topologySpreadConstraints[1].{topologyKey, whenUnsatisfiable}',
        'Duplicate value: "{zone, DoNotSchedule}"',
      ],
    ];
    rows('pods', aPod(), list);
  });
});
