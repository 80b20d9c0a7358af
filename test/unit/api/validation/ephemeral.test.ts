import type { Json, MutableJson } from '../../../../lib/api/json.ts';
import { applyDefaults } from '../../../../lib/api/defaults/index.ts';
import {
  validateEphemeralContainers,
  validateStatusUpdate,
  validateUpdate,
} from '../../../../lib/api/validation/index.ts';
import { aContainer, aPod, anRc } from '../../../support/builders.ts';
import { changed } from '../../../support/changed.ts';
import { expectCauses, rows, short } from './rows.ts';

const field = 'spec.ephemeralContainers';
const at = `${field}[0]`;
const looker = (more: object = {}): object => ({ name: 'look', image: 'busybox:1', ...more });

/** A pod as it is stored, defaults and all. */
function stored(changes: Json = {}): MutableJson {
  const pod = changed(aPod({ nodeName: 'n1' }), changes);
  applyDefaults('pods', pod);
  return pod;
}

describe('api/validation: ephemeral containers', () => {
  const plain = { 'spec.initContainers': [aContainer({ name: 'prepare' })], 'spec.volumes': [{ name: 'work' }] };
  const cases: readonly (readonly [given: object, field?: string, message?: string])[] = [
    [looker()],
    [looker({ targetContainerName: 'main', stdin: true, tty: true, command: ['sh'] })],
    [looker({ targetContainerName: 'prepare' })],
    [looker({ securityContext: { capabilities: { add: ['SYS_PTRACE'] } }, env: [{ name: 'A', value: '1' }] })],
    [looker({ volumeMounts: [{ name: 'work', mountPath: '/work' }] })],
    [looker({ resources: {}, ports: [] })],
    [looker({ name: '' }), `${at}.name`, 'Required value'],
    [looker({ name: 'Look' }), `${at}.name`, 'RFC 1123 label'],
    [looker({ name: 'main' }), `${at}.name`, 'Duplicate value: "main"'],
    [looker({ name: 'prepare' }), `${at}.name`, 'Duplicate value: "prepare"'],
    [looker({ image: '' }), `${at}.image`, 'Required value'],
    [looker({ targetContainerName: 'look' }), `${at}.targetContainerName`, 'Not found: "look": must be a container'],
    [looker({ ports: [{ containerPort: 80 }] }), `${at}.ports`, 'cannot be set for an Ephemeral Container'],
    [looker({ livenessProbe: { exec: { command: ['true'] } } }), `${at}.livenessProbe`, 'it is not probed'],
    [looker({ readinessProbe: { exec: { command: ['true'] } } }), `${at}.readinessProbe`, 'it is not probed'],
    [looker({ startupProbe: { exec: { command: ['true'] } } }), `${at}.startupProbe`, 'it is not probed'],
    [looker({ lifecycle: { preStop: { exec: { command: ['true'] } } } }), `${at}.lifecycle`, 'it has no hooks'],
    [looker({ resources: { limits: { cpu: '1' } } }), `${at}.resources`, 'within what its pod has'],
    [looker({ resizePolicy: [{ resourceName: 'cpu' }] }), `${at}.resizePolicy`, 'cannot be set'],
    [looker({ restartPolicy: 'Always' }), `${at}.restartPolicy`, 'never started again'],
    [looker({ volumeMounts: [{ name: 'x', mountPath: '/x' }] }), `${at}.volumeMounts[0].name`, 'Not found: "x"'],
  ];
  for (const [given, wrong, message] of cases)
    it(`${wrong === undefined ? 'takes' : 'refuses'} ${short(given)}`, () => {
      const next = stored({ ...plain, [field]: [given] });
      expectCauses(validateEphemeralContainers(next, stored(plain)), wrong, message);
    });

  it('refuses two of one name', () => {
    const next = stored({ [field]: [looker(), looker()] });
    expectCauses(validateEphemeralContainers(next, stored()), `${field}[1].name`, 'Duplicate value: "look"');
  });

  it('lets the list grow, and nothing in it change or go', () => {
    const before = stored({ [field]: [looker()] });
    const next = (...list: readonly object[]): MutableJson => stored({ [field]: list });
    expectCauses(validateEphemeralContainers(next(looker()), before));
    expectCauses(validateEphemeralContainers(next(looker({ name: 'new' }), looker()), before));
    expectCauses(validateEphemeralContainers(next(), before), field, 'containers "look" may not be removed');
    const other = next(looker({ command: ['sh'] }));
    expectCauses(validateEphemeralContainers(other, before), at, 'containers "look" may not be changed');
  });

  it('takes none more where nothing is started any more, and leaves those that are there alone', () => {
    for (const [changes, why] of [
      [{ 'status.phase': 'Succeeded' }, 'the pod is Succeeded'],
      [{ 'status.phase': 'Failed' }, 'the pod is Failed'],
      [{ 'metadata.deletionTimestamp': '2026-01-01T00:00:00Z' }, 'the pod is being deleted'],
    ] as const) {
      expectCauses(
        validateEphemeralContainers(stored({ ...changes, [field]: [looker()] }), stored(changes)),
        field,
        why,
      );
      const there = stored({ ...changes, [field]: [looker()] });
      expectCauses(validateEphemeralContainers(there, there));
    }
  });

  it('is not for plain updates: what they say otherwise is refused', () => {
    const before = stored({ [field]: [looker()] });
    expectCauses(validateUpdate('pods', before, before));
    expectCauses(validateUpdate('pods', stored({ [field]: [looker(), looker({ name: 'b' })] }), before), 'spec', field);
  });

  it('keeps an end that was told: none ever runs again', () => {
    const status = (state: object): MutableJson =>
      stored({ 'status.ephemeralContainerStatuses': [{ name: 'look', restartCount: 0, state }] });
    const ended = status({ terminated: { exitCode: 0 } });
    expectCauses(validateStatusUpdate('pods', ended, status({ running: {} })));
    const place = 'status.ephemeralContainerStatuses[0].state';
    expectCauses(validateStatusUpdate('pods', status({ running: {} }), ended), place, 'non-terminated');
  });

  describe('in templates', () => {
    rows('replicationcontrollers', anRc(), [
      [
        { 'spec.template.spec.ephemeralContainers': [aContainer({ name: 'x' })] },
        'spec.template.spec.ephemeralContainers',
        'ephemeral containers not allowed in pod template',
      ],
    ]);
  });
});
