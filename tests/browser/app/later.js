import { loaded } from './later-part.js';
import './later.css';

export const later = `Loaded ${loaded}`;
